-- The concepts of a scoring's labels.
select
    unit,
    position,
    concept_id,
    weight,
    operator
from store.label_terms
where scoring_id = $scoring_id
order by unit, position
