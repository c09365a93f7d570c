-- One row per scoring, unit and category of concepts that the unit meets at all: the best concept of that category.
-- Of labels of another tool it is what the file says.
--   position: place of the layer in the model, in the order of named_modules()
--   concept: of highest iou; of equal ones the first of the concept set
--   iou: pixels in which the unit is active and the concept is shown, as a share of those in which one of the two is so
select
    intersections.scoring_id as scoring,
    scorings.setting,
    scorings.model,
    scorings.layer,
    scorings.position,
    intersections.unit,
    concept_set_concepts.category,
    concepts.concept,
    intersections.intersection_pixels / intersections.union_pixels as iou,
    intersections.intersection_pixels,
    intersections.union_pixels
from store.intersections
inner join scorings on intersections.scoring_id = scorings.scoring
inner join store.scorings as keys on intersections.scoring_id = keys.scoring_id
inner join store.concept_set_concepts
    on
        keys.concept_set_id = concept_set_concepts.concept_set_id
        and intersections.concept_id = concept_set_concepts.concept_id
inner join store.concepts on intersections.concept_id = concepts.concept_id
qualify
    row_number() over (
        partition by intersections.scoring_id, intersections.unit, concept_set_concepts.category
        order by iou desc, concept_set_concepts.position asc
    ) = 1
