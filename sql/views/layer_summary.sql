-- One row per scoring: a layer at a glance.
--   position: place of the layer in the model, in the order of named_modules()
--   units: units of the layer
--   labelled: units with a label
--   dead: units with the same activation for every image (to five digits), or values that are not finite
--   concepts: distinct labels
--   top_concept: the label of the most units; the first in alphabetical order where several tie
--   top_units: how many units that is
--   mean_similarity: mean score of the labels
--   significant: labels better than chance (q < 0.05); null where no label has a q_value
--   held: labels that hold, see unit_labels; null where that is not known of any
--   mean_correlation: mean of the labels' correlations; this and what follows is null where they were not judged
--   mean_held_out_correlation: mean of their held-out correlations
--   mean_ceiling: mean of their units' ceilings
--   mean_stability: mean of their stabilities
--   mean_confidence: mean of their confidences
--   polysemantic: labels that mark their unit as polysemantic, see unit_labels; null where that is not known of any
--   mean_monosemanticity: mean of their units' monosemanticities
with label_counts as (
    select
        scoring,
        count(concept) as labelled,
        count(distinct concept) as concepts,
        avg(similarity) as mean_similarity,
        sum(is_significant::integer)::bigint as significant,
        count(*) filter (status <> 'live') as dead,
        sum(holds::integer)::bigint as held,
        avg(correlation) as mean_correlation,
        avg(held_out_correlation) as mean_held_out_correlation,
        avg(ceiling) as mean_ceiling,
        avg(stability) as mean_stability,
        avg(confidence) as mean_confidence,
        sum(is_polysemantic::integer)::bigint as polysemantic,
        avg(monosemanticity) as mean_monosemanticity
    from unit_labels
    group by scoring
),

top_concepts as (
    select
        scoring,
        concept as top_concept,
        units as top_units
    from concept_frequency
    qualify row_number() over (partition by scoring order by units desc, concept asc) = 1
)

select
    scorings.scoring,
    scorings.model,
    scorings.layer,
    scorings.position,
    scorings.units,
    label_counts.labelled,
    label_counts.dead,
    label_counts.concepts,
    top_concepts.top_concept,
    top_concepts.top_units,
    label_counts.mean_similarity,
    label_counts.significant,
    scorings.method,
    scorings.encoder,
    scorings.concept_set,
    scorings.probe,
    scorings.pooling,
    scorings.setting,
    label_counts.held,
    label_counts.mean_correlation,
    label_counts.mean_held_out_correlation,
    label_counts.mean_ceiling,
    label_counts.mean_stability,
    label_counts.mean_confidence,
    label_counts.polysemantic,
    label_counts.mean_monosemanticity
from scorings
inner join label_counts using (scoring)
left join top_concepts using (scoring)
