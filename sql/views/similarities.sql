-- One row per scoring, unit and concept: the unit-by-concept matrix, with names.
-- A scoring that was made with --keep-concepts N holds the N best concepts of each unit.
--   similarity: score of the concept for the unit; compares only within its scoring
select
    similarities.scoring_id as scoring,
    models.name as model,
    layers.name as layer,
    similarities.unit,
    concepts.concept,
    similarities.similarity
from store.similarities
inner join store.scorings using (scoring_id)
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.concepts using (concept_id)
