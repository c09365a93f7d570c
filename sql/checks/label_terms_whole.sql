-- The terms of a label are numbered from 0 without a gap: each another concept of the scoring's set, with a finite
-- weight. In a formula or, and, and not stand before each but the first, in a sum nothing.
with found as (
    select
        label_terms.scoring_id,
        label_terms.unit,
        count(*) as terms,
        count(distinct label_terms.position) as positions,
        count(distinct label_terms.concept_id) as concepts,
        max(label_terms.position) as last_position,
        bool_and(isfinite(label_terms.weight)) as is_finite,
        count(label_terms.operator) as operators,
        bool_and(coalesce(label_terms.operator in ('or', 'and', 'and not'), true)) as are_known,
        bool_or(label_terms.operator is not null and label_terms.position = 0) as is_first_joined,
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
    or operators not in (0, terms - 1)
    or not are_known
    or is_first_joined
    or concepts_of_set <> terms
