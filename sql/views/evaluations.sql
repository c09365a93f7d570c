-- One row per measure of how far the labels of a scoring can be trusted, as `cli evaluate` found it.
-- With true names: top_1 and top_5 (share of names that are the label, or among the best five concepts), mean_rank
-- and median_rank of the name, cosine of label and name in text space; auc_similarity, auc_margin, auc_minus_p,
-- auc_confidence, auc_correlation, auc_held_out_correlation and auc_stability (how well each tells right labels from
-- wrong ones: the area under its ROC curve); calibration_error (how far the confidence lies from the share of right
-- labels: the mean over ten bins of equal width, weighted by their units), and with_images (share of the units with a
-- known name whose class has images in the probe: only these are measured; there is no such row where the images'
-- labels do not tell). What a scoring has nothing to measure by is left out.
-- Without: correlation and auprc of label, runner_up and a random concept with the unit's activations, on the half of
-- the images that did not make the label.
--   truth: the true names, a set or a file's whole path, or probe for the images' own labels; null where labels were
--     verified on the probe's other half
--   measure: what was measured
--   value: over all units
--   low: lower end of the bootstrap 95 % interval; null where there is none
--   high: upper end of it
--   units: units that were measured
--   scoring: number of the scoring
select
    scorings.setting,
    scorings.model,
    scorings.layer,
    scorings.method,
    evaluations.truth,
    evaluations.measure,
    evaluations.value,
    evaluations.low,
    evaluations.high,
    evaluations.units,
    scorings.encoder,
    scorings.concept_set,
    scorings.probe,
    evaluations.scoring_id as scoring
from store.evaluations
inner join scorings on evaluations.scoring_id = scorings.scoring
