-- The view similarities with the number of the concept, so that the rows of the table can be had back.
select
    similarities.*,
    concepts.concept_id
from similarities
inner join store.concepts on similarities.concept = concepts.concept
order by similarities.scoring, similarities.unit, concepts.concept_id
