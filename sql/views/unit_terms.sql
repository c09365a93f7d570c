-- One row per concept of a unit's label: the first is the one that is counted, others come with sums and formulas.
--   category: texture, object, part, scene, material, color, a concept file's own, or none
--   position: place in the label, from 0
--   weight: how much the concept counts in a sum: what the unit gains by one deviation of the concept's signal over the
--     probe, or by the whole signal where that is 0 to 1 (sigmoids, labels), see docs/sums.md; 1 where a label is one
--     concept
--   operator: how a formula puts the concept to all those before it: or, and, and not; null of its first and in a sum
--   term: the concept as it stands in the label's text
--   share: of the variance that the label explains; below 0 where the concept only corrects others; null where it was
--     not judged
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
        when label_terms.operator is not null then label_terms.operator || ' '
        when label_terms.position = 0 and label_terms.weight = 1 then ''
        -- two digits, and more before the point
        else
            case
                when label_terms.weight < 0 then '- '
                when label_terms.position > 0 then '+ '
                else ''
            end
            || format(
                case when abs(label_terms.weight) between 10 and 1e6 then '{:.0f} ' else '{:.2g} ' end,
                abs(label_terms.weight)
            )
    end
    || concepts.concept as term,
    scorings.setting,
    fidelities.shares[label_terms.position + 1] as share,
    coalesce(concept_set_concepts.category, 'none') as category
from store.label_terms
inner join scorings on label_terms.scoring_id = scorings.scoring
inner join store.scorings as keys on label_terms.scoring_id = keys.scoring_id
inner join store.concepts using (concept_id)
left join store.concept_set_concepts
    on
        keys.concept_set_id = concept_set_concepts.concept_set_id
        and label_terms.concept_id = concept_set_concepts.concept_id
left join store.fidelities
    on label_terms.scoring_id = fidelities.scoring_id and label_terms.unit = fidelities.unit
