-- One row per pair of layers of two different models, scored under the same setting: how alike they are.
-- Each pair of models stands once, in alphabetical order.
--   shared: concepts that label units of both layers
--   only_a: concepts of the first layer alone
--   only_b: concepts of the second layer alone
--   jaccard: shared concepts as a share of all concepts of the two layers
--   held_shared: as shared, of labels that hold, see unit_labels; this and what follows is null where that is unknown
--   held_only_a: as only_a, of labels that hold
--   held_only_b: as only_b, of labels that hold
--   held_jaccard: as jaccard, of labels that hold
with layer_concepts as (
    select
        any_value(scorings.model) as model,
        any_value(scorings.layer) as layer,
        any_value(scorings.position) as position,
        any_value(scorings.method) as method,
        any_value(scorings.encoder) as encoder,
        any_value(scorings.concept_set) as concept_set,
        any_value(scorings.probe) as probe,
        any_value(scorings.pooling) as pooling,
        scorings.setting,
        coalesce(list(distinct unit_labels.concept) filter (unit_labels.concept is not null), []) as concepts,
        case
            when count(unit_labels.holds) > 0
                then coalesce(list(distinct unit_labels.concept) filter (unit_labels.holds), [])
        end as held_concepts
    from scorings
    inner join unit_labels using (scoring)
    group by scorings.scoring, scorings.setting
),

counts as (
    select
        a.model as model_a,
        a.layer as layer_a,
        a.position as position_a,
        b.model as model_b,
        b.layer as layer_b,
        b.position as position_b,
        len(list_intersect(a.concepts, b.concepts)) as shared,
        len(a.concepts) as concepts_a,
        len(b.concepts) as concepts_b,
        len(list_intersect(a.held_concepts, b.held_concepts)) as held_shared,
        len(a.held_concepts) as held_concepts_a,
        len(b.held_concepts) as held_concepts_b,
        a.method,
        a.encoder,
        a.concept_set,
        a.probe,
        a.pooling,
        a.setting
    from layer_concepts as a
    inner join layer_concepts as b using (setting)
    where a.model < b.model
)

select
    model_a,
    layer_a,
    model_b,
    layer_b,
    shared,
    concepts_a - shared as only_a,
    concepts_b - shared as only_b,
    shared / nullif(concepts_a + concepts_b - shared, 0) as jaccard,
    method,
    encoder,
    concept_set,
    probe,
    pooling,
    position_a,
    position_b,
    setting,
    held_shared,
    held_concepts_a - held_shared as held_only_a,
    held_concepts_b - held_shared as held_only_b,
    held_shared / nullif(held_concepts_a + held_concepts_b - held_shared, 0) as held_jaccard
from counts
