-- One row per concept of two layers that `cli compare` compared, and setting that both are labelled under: how many
-- units had it as their label, and how many have it now.
--   layer: that of model_a
--   layer_b: that of model_b
--   position: place of the layer in model_a, in the order of named_modules()
--   units_a: units of layer whose label it is
--   units_b: units of layer_b whose label it is
--   kept: units of layer_b that have it, and had it as the units of layer that they are compared with, see
--     label_changes
--   gained: units_b less kept
--   lost: units_a less kept
--   held_a: as units_a, of labels that hold, see unit_labels; this and what follows is null where that is not known
--   held_b: as units_b, of labels that hold
--   held_kept: as kept, where both labels hold
--   held_gained: held_b less held_kept
--   held_lost: held_a less held_kept
with pairs as (
    select
        model_a,
        model_b,
        layer,
        layer_b,
        position,
        scoring_a,
        scoring_b,
        any_value(method) as method,
        any_value(encoder) as encoder,
        any_value(concept_set) as concept_set,
        any_value(probe) as probe,
        any_value(pooling) as pooling,
        any_value(setting) as setting
    from label_changes
    group by all
),

kept_labels as (
    select
        scoring_a,
        scoring_b,
        concept_a as concept,
        count(distinct unit_b) as kept,
        count(distinct unit_b) filter (holds_a and holds_b) as held_kept
    from label_changes
    where concept_a = concept_b and change in ('same', 'moved')
    group by scoring_a, scoring_b, concept_a
),

counts as (
    select
        scoring,
        concept,
        any_value(category) as category,
        count(*) as units,
        sum(holds::integer)::bigint as held
    from unit_labels
    where concept is not null
    group by scoring, concept
),

sides as (
    select
        pairs.scoring_a,
        pairs.scoring_b,
        counts.concept,
        counts.category,
        counts.units as units_a,
        0 as units_b,
        counts.held as held_a,
        null as held_b
    from pairs
    inner join counts on pairs.scoring_a = counts.scoring
    union all
    select
        pairs.scoring_a,
        pairs.scoring_b,
        counts.concept,
        counts.category,
        0 as units_a,
        counts.units as units_b,
        null as held_a,
        counts.held as held_b
    from pairs
    inner join counts on pairs.scoring_b = counts.scoring
),

flows as (
    select
        scoring_a,
        scoring_b,
        concept,
        any_value(category) as category,
        sum(units_a)::bigint as units_a,
        sum(units_b)::bigint as units_b,
        -- a layer without the concept has no label of it that holds
        case when count(held_a) + count(held_b) > 0 then coalesce(sum(held_a), 0)::bigint end as held_a,
        case when count(held_a) + count(held_b) > 0 then coalesce(sum(held_b), 0)::bigint end as held_b
    from sides
    group by scoring_a, scoring_b, concept
)

select
    pairs.model_a,
    pairs.model_b,
    pairs.layer,
    pairs.layer_b,
    flows.concept,
    flows.category,
    flows.units_a,
    flows.units_b,
    coalesce(kept_labels.kept, 0) as kept,
    flows.units_b - coalesce(kept_labels.kept, 0) as gained,
    flows.units_a - coalesce(kept_labels.kept, 0) as lost,
    pairs.method,
    pairs.encoder,
    pairs.concept_set,
    pairs.probe,
    pairs.pooling,
    pairs.position,
    pairs.setting,
    flows.held_a,
    flows.held_b,
    case when flows.held_a is not null then coalesce(kept_labels.held_kept, 0) end as held_kept,
    flows.held_b - coalesce(kept_labels.held_kept, 0) as held_gained,
    flows.held_a - coalesce(kept_labels.held_kept, 0) as held_lost
from flows
inner join pairs using (scoring_a, scoring_b)
left join kept_labels using (scoring_a, scoring_b, concept)
