-- The pixels of labels of one concept, which are those that the unit and the concept have in common.
update store.labels
set
    intersection_pixels = found.intersection_pixels,
    union_pixels = found.union_pixels
from (
    select
        plain.unit,
        intersections.intersection_pixels,
        intersections.union_pixels
    from (
        select
            unit,
            any_value(concept_id) as concept_id
        from store.label_terms
        where scoring_id = $scoring_id
        group by unit
        having count(*) = 1
    ) as plain
    left join store.intersections
        on
            plain.unit = intersections.unit
            and plain.concept_id = intersections.concept_id
            and intersections.scoring_id = $scoring_id
) as found
where labels.scoring_id = $scoring_id and labels.unit = found.unit
