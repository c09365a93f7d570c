-- One row per pair of models and layer that both have: how alike what they learned there is.
-- layer_overlap compares layers of different names too.
--   shared: concepts that label units of that layer in both models
--   only_a: concepts of the first model alone
--   only_b: concepts of the second model alone
--   jaccard: shared concepts as a share of all concepts of the two
--   held_shared: as shared, of labels that hold, see unit_labels; this and what follows is null where that is unknown
--   held_only_a: as only_a, of labels that hold
--   held_only_b: as only_b, of labels that hold
--   held_jaccard: as jaccard, of labels that hold
select
    model_a,
    model_b,
    layer_a as layer,
    shared,
    only_a,
    only_b,
    jaccard,
    method,
    encoder,
    concept_set,
    probe,
    pooling,
    setting,
    held_shared,
    held_only_a,
    held_only_b,
    held_jaccard
from layer_overlap
where layer_a = layer_b
