-- Which concepts did the units of a model gain by training, and which did they lose?
-- Summed over the layers that were compared with the other model's, see the view concept_flow. A concept counts as
-- often as units gained it less units that lost it; the ones gained most come first, those lost most last. Labels that
-- hold count (see unit_labels); all of them where that is not known of any.
--   $model_a: text = ; name of the model before; any where not given
--   $model_b: text = ; name of the model after; any where not given
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
--   $top: integer = 10; how many concepts gained and how many lost, of each pair of models
with flows as (
    select
        *,
        held_kept is not null and not $all_labels::boolean as counts_held
    from concept_flow
    where
        setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and model_a = coalesce($model_a, model_a)
        and model_b = coalesce($model_b, model_b)
),

sums as (
    select
        model_a,
        model_b,
        concept,
        any_value(category) as category,
        sum(case when counts_held then held_a else units_a end)::bigint as units_a,
        sum(case when counts_held then held_b else units_b end)::bigint as units_b,
        sum(case when counts_held then held_kept else kept end)::bigint as kept,
        sum(case when counts_held then held_gained else gained end)::bigint as gained,
        sum(case when counts_held then held_lost else lost end)::bigint as lost
    from flows
    group by model_a, model_b, concept
)

select
    model_a,
    model_b,
    concept,
    category,
    units_a,
    units_b,
    kept,
    gained,
    lost,
    gained - lost as net
from sums
where gained <> lost
qualify
    row_number() over (
        partition by model_a, model_b, gained > lost
        order by abs(gained - lost) desc, gained + lost desc, concept asc
    ) <= $top::integer
order by model_a asc, model_b asc, net desc, gained desc, lost asc, concept asc
