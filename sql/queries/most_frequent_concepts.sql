-- Which concepts are most frequent in each layer of each model?
-- Labels that are better than chance count (q < 0.05); all of them where no q-value is known.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 10; how many concepts of each layer
select
    model,
    layer,
    position,
    concept,
    category,
    coalesce(significant, units) as counted,
    units,
    significant,
    share,
    rank() over (partition by scoring order by coalesce(significant, units) desc) as rank
from concept_frequency
where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
qualify
    row_number() over (partition by scoring order by counted desc, units desc, mean_similarity desc, concept asc)
    <= $top::integer
order by model asc, position asc, counted desc, units desc, mean_similarity desc, concept asc
