-- Every concept set has as many concepts as its plan says, each once.
with found as (
    select
        concept_set_id,
        count(*) as concepts,
        count(distinct concept_id) as distinct_concepts,
        count(distinct position) as distinct_positions
    from store.concept_set_concepts
    group by concept_set_id
)

select
    concept_sets.name as concept_set,
    concept_sets.concepts as concepts_planned,
    coalesce(found.concepts, 0) as concepts_found,
    found.distinct_concepts
from store.concept_sets
left join found using (concept_set_id)
where
    coalesce(found.concepts, 0) <> concept_sets.concepts
    or found.distinct_concepts <> found.concepts
    or found.distinct_positions <> found.concepts
