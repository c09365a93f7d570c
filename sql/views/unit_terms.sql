-- One row per concept of a unit's label: the first is the one that is counted, others come with sums and formulas.
--   position: place in the label, from 0
--   weight: how much the concept counts in a sum; 1 where a label is one concept
--   operator: how a formula puts the concept to those before it; null in a sum
--   term: the concept as it stands in the label's text
select
    scorings.scoring,
    scorings.model,
    scorings.layer,
    label_terms.unit,
    label_terms.position,
    concepts.concept,
    label_terms.weight,
    label_terms.operator,
    case
        when label_terms.operator is not null then label_terms.operator || ' ' || concepts.concept
        when label_terms.position = 0 and label_terms.weight = 1 then concepts.concept
        when label_terms.position = 0 then format('{:.2f} {}', label_terms.weight, concepts.concept)
        else format('{:+.2f} {}', label_terms.weight, concepts.concept)
    end as term,
    scorings.setting
from store.label_terms
inner join scorings on label_terms.scoring_id = scorings.scoring
inner join store.concepts using (concept_id)
