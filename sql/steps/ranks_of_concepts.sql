-- The place of one concept of each unit among all of its scores, from 1.
with known as (
    select
        unnest($units::integer[]) as unit,
        unnest($concepts::varchar[]) as concept
),

of_concept as (
    select
        known.unit,
        similarities.similarity
    from known
    inner join similarities using (unit, concept)
    where similarities.scoring = $scoring
)

select
    of_concept.unit,
    1 + count(*) filter (similarities.similarity > of_concept.similarity) as rank
from of_concept
inner join store.similarities using (unit)
where similarities.scoring_id = $scoring
group by of_concept.unit
order by of_concept.unit
