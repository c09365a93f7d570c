-- Which concepts are most frequent in each layer of each model?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 10; how many concepts of each layer
select
    model,
    layer,
    position,
    concept,
    category,
    units,
    significant,
    share,
    rank
from concept_frequency
where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
qualify row_number() over (partition by scoring order by units desc, mean_similarity desc, concept asc) <= $top::integer
order by model asc, position asc, units desc, mean_similarity desc, concept asc
