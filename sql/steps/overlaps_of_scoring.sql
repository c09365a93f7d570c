-- What a scoring's units have in common with concepts.
select
    intersections.unit,
    concepts.concept,
    intersections.intersection_pixels,
    intersections.union_pixels
from store.intersections
inner join store.concepts using (concept_id)
where intersections.scoring_id = $scoring_id
order by intersections.unit asc, concepts.concept asc
