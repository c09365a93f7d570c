-- Every label is the concept with the highest stored similarity, or begins with it, and the runner-up has the second
-- highest. Labels without stored similarities are not asked for them, nor formulas, which are better than any concept.
with formulas as (
    select distinct scoring_id
    from store.label_terms
    where operator is not null
),

plain as (
    select scoring_id
    from store.scorings
    anti join formulas using (scoring_id)
    where kept_concepts > 0 and coalesce(try_cast(parameters ->> 'length' as integer), 1) = 1
),

best as (
    select
        scoring_id,
        unit,
        max(similarity, 2) as highest
    from store.similarities
    semi join plain using (scoring_id)
    group by scoring_id, unit
),

first_terms as (
    select
        labels.*,
        label_terms.concept_id
    from store.labels
    semi join plain using (scoring_id)
    left join store.label_terms
        on
            labels.scoring_id = label_terms.scoring_id
            and labels.unit = label_terms.unit
            and label_terms.position = 0
)

select
    scoring_id,
    unit,
    labels.concept_id,
    labels.similarity,
    best.highest[1] as highest_stored,
    labels.runner_up_similarity,
    best.highest[2] as second_stored
from first_terms as labels
full join best using (scoring_id, unit)
left join store.similarities as label_scores
    on
        labels.scoring_id = label_scores.scoring_id
        and labels.unit = label_scores.unit
        and labels.concept_id = label_scores.concept_id
left join store.similarities as runner_up_scores
    on
        labels.scoring_id = runner_up_scores.scoring_id
        and labels.unit = runner_up_scores.unit
        and labels.runner_up_id = runner_up_scores.concept_id
where
    labels.similarity is distinct from best.highest[1]
    or labels.runner_up_similarity is distinct from best.highest[2]
    or label_scores.similarity is distinct from labels.similarity
    or runner_up_scores.similarity is distinct from labels.runner_up_similarity
    or labels.concept_id = labels.runner_up_id
