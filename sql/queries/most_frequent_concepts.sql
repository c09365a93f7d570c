-- Which concepts are most frequent in each layer of each model?
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
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
where setting = coalesce($setting::integer, (select max(setting) from scorings))
qualify row_number() over (partition by scoring order by units desc, mean_similarity desc, concept asc) <= $top::integer
order by model asc, position asc, units desc, mean_similarity desc, concept asc
