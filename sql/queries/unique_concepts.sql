-- Which concepts did only one of the models learn?
-- Compared in the layers whose name all models have (is_same_layers); where there is none, in all layers of each.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
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
        sum(concept_frequency.units)::bigint as units,
        sum(concept_frequency.significant)::bigint as significant,
        count(*) over (partition by concept_frequency.concept) as models
    from compared
    inner join concept_frequency using (scoring)
    group by
        compared.model,
        concept_frequency.concept,
        concept_frequency.category
)

select
    known.model,
    known.concept,
    known.category,
    known.units,
    known.significant,
    compared_layers.compared_layers,
    compared_layers.is_same_layers
from known
inner join compared_layers using (model)
where known.models = 1
qualify
    row_number() over (
        partition by known.model
        order by known.units desc, known.significant desc, known.concept asc
    ) <= $top::integer
order by known.model asc, known.units desc, known.significant desc, known.concept asc
