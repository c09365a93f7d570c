-- One row per concept and concept set: which concepts units could be labelled with.
--   position: place in the set, from 0
--   category: Broden's texture, object, part, scene, material and color, a concept file's own, or none
--   sets: where several sets were joined, those that the concept is in
select
    concept_sets.name as concept_set,
    concept_set_concepts.position,
    concepts.concept,
    concept_set_concepts.category,
    coalesce(concept_set_concepts.sets, [concept_sets.name]) as sets
from store.concept_set_concepts
inner join store.concept_sets using (concept_set_id)
inner join store.concepts using (concept_id)
