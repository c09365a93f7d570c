-- What are the best concepts of each unit of one layer?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $top: integer = 5; how many concepts of each unit
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with scored as (
    select scoring
    from scorings
    where
        setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and model = $model
        and layer = $layer
),

least as (
    select
        similarities.scoring_id,
        similarities.unit,
        list_min(max(similarities.similarity, $top::integer)) as similarity
    from scored
    inner join store.similarities on scored.scoring = similarities.scoring_id
    group by similarities.scoring_id, similarities.unit
)

select
    similarities.unit,
    concepts.concept,
    similarities.similarity
from least
inner join store.similarities
    on
        least.scoring_id = similarities.scoring_id
        and least.unit = similarities.unit
        and least.similarity <= similarities.similarity
inner join store.concepts using (concept_id)
qualify
    row_number() over (
        partition by similarities.unit
        order by similarities.similarity desc, concepts.concept asc
    ) <= $top::integer
order by similarities.unit asc, similarities.similarity desc, concepts.concept asc
