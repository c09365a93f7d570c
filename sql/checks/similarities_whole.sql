-- Every labelled unit of a scoring has as many similarities as its scoring keeps, each for another concept of its set.
with found as (
    select
        similarities.scoring_id,
        similarities.unit,
        count(*) as similarities,
        count(distinct similarities.concept_id) as concepts,
        count(concept_set_concepts.concept_id) as concepts_of_set
    from store.similarities
    left join store.scorings using (scoring_id)
    left join store.concept_set_concepts
        on
            scorings.concept_set_id = concept_set_concepts.concept_set_id
            and similarities.concept_id = concept_set_concepts.concept_id
    group by similarities.scoring_id, similarities.unit
),

expected as (
    select
        label_terms.scoring_id,
        label_terms.unit,
        scorings.kept_concepts
    from store.label_terms
    inner join store.scorings using (scoring_id)
    where label_terms.position = 0
)

select
    scoring_id,
    unit,
    expected.kept_concepts,
    coalesce(found.similarities, 0) as similarities,
    found.concepts
from expected
full join found using (scoring_id, unit)
where
    expected.kept_concepts is null
    or coalesce(found.similarities, 0) <> expected.kept_concepts
    or found.concepts <> found.similarities
    or found.concepts_of_set <> found.similarities
