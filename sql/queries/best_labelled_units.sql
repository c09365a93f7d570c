-- Which unit of each layer has the label that is the likeliest to be right?
-- Of labels that nothing is known of, the one with the highest score. The layer with most labels that hold comes first.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with labels as (
    select
        model,
        layer,
        position,
        unit,
        concept,
        explanation,
        confidence,
        holds,
        count(*) filter (holds) over (partition by model, layer) as held,
        row_number() over (
            partition by model, layer
            order by confidence desc nulls last, similarity desc nulls last, unit asc
        ) as place
    from unit_labels
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
)

select
    model,
    layer,
    unit,
    concept,
    explanation,
    confidence,
    holds,
    held
from labels
where place = 1
order by held desc, model asc, position asc
