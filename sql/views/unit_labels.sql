-- One row per unit of a scoring: the concept it stands for, and whether that is better than chance.
-- A unit that is dead (the same activation for every image, to five digits) or not finite has a row without a concept.
--   concept: the first concept of its label, the one that is counted
--   category: texture, object, part, scene, material, color, a concept file's own, or none; null without a concept
--   explanation: the whole label as text; the concept alone where it is all and its weight is not negative; a formula
--     is read from the left, with parentheses where or meets and
--   similarity: score of the label, of method linear its correlation on images that did not choose it; compares only
--     within its scoring
--   runner_up: the second best concept
--   margin: similarity of the label minus that of the runner-up
--   p_value: share of pseudo-units, a unit's activations shuffled over the images, whose own labels predict them at
--     least as well; in scorings that were not judged, whose best score is at least as high
--   q_value: p_value corrected for the number of units of the layer (Benjamini-Hochberg)
--   is_significant: q_value below 0.05; null where there is no q_value
--   status: live, dead or not finite
--   correlation: of the unit's activations and the label's predicted signal, such as the cosines of its concept, over
--     all images, whose weights and choice are by these images too; this and what follows is null in scorings that were
--     not judged, see the view fidelity
--   held_out_correlation: the same on images that did not choose the label, which is made anew for each fifth of them
--   ceiling: held-out correlation of the best linear readout of the image embedding
--   stability: share of the choices on four fifths of the images whose first concept is the label's, or nearly
--     coincides with it
--   confidence: how likely the label's first concept is right, from 0 to 1, see docs/confidence.md; how well a whole
--     sum predicts is held_out_correlation beside ceiling
--   holds: whether confidence is at least 0.5; where there is none, whether q_value is below 0.05; null without either
--   intercept: what a sum adds to its weighted concepts to give the activation; null for labels that are no sum
--   is_polysemantic: whether two concepts of the label, both with positive weights and with unlike signals, each have a
--     third or more of what the label explains; null where it was not judged
--   monosemanticity: mean cosine of the embeddings of two images that the unit fires on, weighted by how far above its
--     mean it is at both; null where it was not judged or no embeddings were at hand
--   threshold: above which the unit counts as active; null for labels that were not found by where units are active
--   intersection_pixels: in how many pixels of all images the unit is active and the label is shown; null as threshold
--     is, and for imported labels whose file does not have it
--   union_pixels: in how many one of the two is so: the similarity is the first as a share of this
with first_terms as (
    select
        scoring_id,
        unit,
        concept_id
    from store.label_terms
    where position = 0
),

-- in formulas or and and are told apart by parentheses, from the left
terms as (
    select
        scoring,
        unit,
        position,
        weight,
        term,
        coalesce((operator = 'or') <> lead(operator = 'or') over of_label, false) as is_end_of_group
    from unit_terms
    window of_label as (partition by scoring, unit order by position)
),

longer_labels as (
    select
        scoring,
        unit,
        repeat('(', count(*) filter (is_end_of_group))
        || string_agg(term || case when is_end_of_group then ')' else '' end, ' ' order by position) as explanation
    from terms
    group by scoring, unit
    having count(*) > 1 or min(weight) < 0
)

select
    scorings.scoring,
    scorings.model,
    scorings.layer,
    labels.unit,
    label_concepts.concept,
    case when first_terms.concept_id is not null then coalesce(concept_set_concepts.category, 'none') end as category,
    labels.similarity,
    runner_up_concepts.concept as runner_up,
    labels.similarity - labels.runner_up_similarity as margin,
    coalesce(fidelities.p_value, labels.p_value) as p_value,
    coalesce(fidelities.q_value, labels.q_value) as q_value,
    coalesce(fidelities.q_value, labels.q_value) < 0.05 as is_significant,
    coalesce(units.status, 'live') as status,
    scorings.method,
    scorings.encoder,
    scorings.concept_set,
    scorings.probe,
    scorings.pooling,
    scorings.position,
    scorings.setting,
    coalesce(longer_labels.explanation, label_concepts.concept) as explanation,
    fidelities.correlation,
    fidelities.held_out_correlation,
    fidelities.ceiling,
    fidelities.stability,
    fidelities.confidence,
    coalesce(fidelities.confidence >= 0.5, fidelities.q_value < 0.05, labels.q_value < 0.05) as holds,
    labels.intercept,
    fidelities.is_polysemantic,
    fidelities.monosemanticity,
    labels.threshold,
    labels.intersection_pixels,
    labels.union_pixels
from store.labels
inner join scorings on labels.scoring_id = scorings.scoring
inner join store.scorings as keys on labels.scoring_id = keys.scoring_id
left join first_terms on labels.scoring_id = first_terms.scoring_id and labels.unit = first_terms.unit
left join longer_labels on labels.scoring_id = longer_labels.scoring and labels.unit = longer_labels.unit
left join store.fidelities on labels.scoring_id = fidelities.scoring_id and labels.unit = fidelities.unit
left join store.units
    on keys.layer_id = units.layer_id and keys.probe_id = units.probe_id and labels.unit = units.unit
left join store.concepts as label_concepts on first_terms.concept_id = label_concepts.concept_id
left join store.concepts as runner_up_concepts on labels.runner_up_id = runner_up_concepts.concept_id
left join store.concept_set_concepts
    on
        keys.concept_set_id = concept_set_concepts.concept_set_id
        and first_terms.concept_id = concept_set_concepts.concept_id
