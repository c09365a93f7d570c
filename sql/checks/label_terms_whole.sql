-- The terms of a label are numbered from 0 without a gap: each another concept of the scoring's set, with a finite
-- weight.
with found as (
    select
        label_terms.scoring_id,
        label_terms.unit,
        count(*) as terms,
        count(distinct label_terms.position) as positions,
        count(distinct label_terms.concept_id) as concepts,
        max(label_terms.position) as last_position,
        bool_and(isfinite(label_terms.weight)) as is_finite,
        count(concept_set_concepts.concept_id) as concepts_of_set
    from store.label_terms
    inner join store.scorings using (scoring_id)
    left join store.concept_set_concepts
        on
            scorings.concept_set_id = concept_set_concepts.concept_set_id
            and label_terms.concept_id = concept_set_concepts.concept_id
    group by label_terms.scoring_id, label_terms.unit
)

select *
from found
where
    positions <> terms
    or concepts <> terms
    or last_position <> terms - 1
    or not is_finite
    or concepts_of_set <> terms
