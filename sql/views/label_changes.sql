-- One row per unit of a layer that `cli compare` compared with another, and setting that both are labelled under: what
-- became of the unit and of its label. model_a is the one before, such as an earlier checkpoint.
-- Where layers were compared over several probes, those of the setting's probe count, else those compared last.
--   layer: that of model_a
--   layer_b: that of model_b
--   position: place of the layer in model_a, in the order of named_modules()
--   unit: of layer
--   unit_b: of layer_b, the one that it is compared with, see unit_matches: that of its own number or, where it moved
--     or numbers are not kept, the closest
--   concept_a: the label of unit, its first concept; null without one
--   concept_b: the label of unit_b
--   activation_correlation: of the two units' activations over the images that both have seen
--   change: same, both are live and the concept is the same; changed, it is another; moved, what the unit did another
--     unit does; died, it is live in model_a and not in model_b; appeared, the other way round; dead, in both. Where
--     numbers are not kept a unit is same or changed against its closest, and unmatched where none is close; see fate
--     of unit_matches
--   explanation_a: the whole label of unit; explanation_b that of unit_b
--   held_out_correlation_a: how well the label predicts its unit, see unit_labels; held_out_correlation_b that of
--     unit_b
--   confidence_a: how likely the label is right; confidence_b that of unit_b
--   holds_a: whether the label holds; holds_b whether that of unit_b does
--   own_correlation: of the activations of unit with those of layer_b's unit of its own number
--   closest_unit: of layer_b, the one that correlates with unit most; closest_correlation with that one
--   is_by_number: whether units of the same number are one unit at two times, see unit_matches
--   compared_over: the probe whose images the activations are of
--   scoring_a: number of the scoring of layer
--   scoring_b: number of the scoring of layer_b
with scored as (
    select
        comparisons.comparison_id as comparison,
        scored_a.scoring as scoring_a,
        scored_b.scoring as scoring_b,
        scored_a.setting,
        scored_a.method,
        scored_a.encoder,
        scored_a.concept_set,
        scored_a.probe,
        scored_a.pooling,
        scored_a.labeler
    from store.comparisons
    inner join store.scorings as keys_a on comparisons.layer_a_id = keys_a.layer_id
    inner join store.scorings as keys_b on comparisons.layer_b_id = keys_b.layer_id
    inner join scorings as scored_a on keys_a.scoring_id = scored_a.scoring
    inner join scorings as scored_b on keys_b.scoring_id = scored_b.scoring and scored_a.setting = scored_b.setting
    qualify
        row_number() over (
            partition by scored_a.scoring, scored_b.scoring
            order by comparisons.probe_id = keys_a.probe_id desc, comparisons.comparison_id desc
        ) = 1
)

select
    unit_matches.model_a,
    unit_matches.model_b,
    unit_matches.layer,
    unit_matches.layer_b,
    unit_matches.position,
    unit_matches.unit,
    unit_matches.unit_b,
    labels_a.concept as concept_a,
    labels_b.concept as concept_b,
    unit_matches.activation_correlation,
    case
        when unit_matches.fate <> 'kept' then unit_matches.fate
        when coalesce(labels_a.concept, '') = coalesce(labels_b.concept, '') then 'same'
        else 'changed'
    end as change,
    labels_a.category as category_a,
    labels_b.category as category_b,
    labels_a.explanation as explanation_a,
    labels_b.explanation as explanation_b,
    labels_a.held_out_correlation as held_out_correlation_a,
    labels_b.held_out_correlation as held_out_correlation_b,
    labels_a.confidence as confidence_a,
    labels_b.confidence as confidence_b,
    labels_a.holds as holds_a,
    labels_b.holds as holds_b,
    unit_matches.own_correlation,
    unit_matches.closest_unit,
    unit_matches.closest_correlation,
    unit_matches.is_by_number,
    scored.method,
    scored.encoder,
    scored.concept_set,
    scored.probe,
    scored.pooling,
    scored.labeler,
    unit_matches.probe as compared_over,
    scored.setting,
    scored.scoring_a,
    scored.scoring_b
from scored
inner join unit_matches using (comparison)
left join unit_labels as labels_a on scored.scoring_a = labels_a.scoring and unit_matches.unit = labels_a.unit
left join unit_labels as labels_b on scored.scoring_b = labels_b.scoring and unit_matches.unit_b = labels_b.unit
