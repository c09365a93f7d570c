-- Which concepts did only one of the models learn?
-- Labels that hold count, in all models (see unit_labels); all of them where that is not known of any.
-- Compared in the layers whose name all models have (is_same_layers); where there is none, in all layers of each.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
--   $top: integer = 20; how many concepts of each model
with scored as (
    select
        scoring,
        model,
        layer,
        position,
        count(*) over (partition by layer) as owners,
        count(distinct model) over () as models
    from scorings
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
),

compared as (
    select
        scoring,
        model,
        layer,
        position,
        owners = models as is_same_layers
    from scored
    qualify owners = models or max(owners) over () < models
),

compared_layers as (
    select
        model,
        string_agg(layer, ', ' order by position asc) as compared_layers,
        bool_and(is_same_layers) as is_same_layers
    from compared
    group by model
),

known as (
    select
        compared.model,
        concept_frequency.concept,
        concept_frequency.category,
        sum(
            case
                when $all_labels::boolean then concept_frequency.units
                else coalesce(concept_frequency.held, concept_frequency.units)
            end
        )::bigint as counted,
        sum(concept_frequency.units)::bigint as units,
        sum(concept_frequency.significant)::bigint as significant,
        sum(concept_frequency.held)::bigint as held
    from compared
    inner join concept_frequency using (scoring)
    group by
        compared.model,
        concept_frequency.concept,
        concept_frequency.category
),

learnt as (
    select
        *,
        count(*) over (partition by concept) as models
    from known
    where counted > 0
)

select
    learnt.model,
    learnt.concept,
    learnt.category,
    learnt.counted,
    learnt.units,
    learnt.significant,
    learnt.held,
    compared_layers.compared_layers,
    compared_layers.is_same_layers
from learnt
inner join compared_layers using (model)
where learnt.models = 1
qualify
    row_number() over (
        partition by learnt.model
        order by learnt.counted desc, learnt.units desc, learnt.significant desc, learnt.concept asc
    ) <= $top::integer
order by learnt.model asc, learnt.counted desc, learnt.units desc, learnt.significant desc, learnt.concept asc
