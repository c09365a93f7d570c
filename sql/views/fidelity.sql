-- One row per judged label: how well its predicted signal (the cosine of its concept, a weighted sum of several, or
-- whether the image has the label) follows the unit's activations. Each measure on all images, and held out: on each of
-- five parts of the images with the label that the other four choose. Null where there is nothing to measure.
--   concept: the first concept of the label
--   explanation: the whole label as text
--   correlation: Pearson's correlation
--   cubed_correlation: the same of the third powers of what is above and below the means, so that the extremes count
--   cosine: of signal and activations as they are
--   auprc: area under the precision-recall curve of the signal, for the unit's top 5 % of images
--   f1: of the signal's top 5 % of images, for the unit's
--   iou: intersection over union of the two
--   held_out_correlation: correlation, held out
--   held_out_low: lower end of its 95 % interval; null where the number of images is not known
--   held_out_cubed_correlation: cubed_correlation, held out
--   held_out_cosine: cosine, held out
--   held_out_auprc: auprc, held out
--   held_out_f1: f1, held out
--   held_out_iou: iou, held out
--   ceiling: held-out correlation of the best linear readout of the image embedding: what the encoder sees of the unit
--   stability: share of the five choices that are the label, or nearly coincide with it
--   confidence: how likely the label is right, from 0 to 1; see docs/confidence.md
--   judged_images: how many images judged it
--   judged_probe: whose images these are; null for figures that came with imported labels
--   judged_encoder: whose embeddings gave the signal; null where none was needed
--   kept_together: what was kept together when images were left out; null where none of the images chose the label
select
    scorings.scoring,
    scorings.model,
    scorings.layer,
    fidelities.unit,
    unit_labels.concept,
    unit_labels.explanation,
    fidelities.correlation,
    fidelities.cubed_correlation,
    fidelities.cosine,
    fidelities.auprc,
    fidelities.f1,
    fidelities.iou,
    fidelities.held_out_correlation,
    -- Fisher's z; greatest() passes over a null
    case
        when judgements.images is not null and fidelities.held_out_correlation is not null
            then tanh(
                atanh(least(greatest(fidelities.held_out_correlation, -0.999999), 0.999999))
                - 1.96 / sqrt(greatest(judgements.images - 3, 1))
            )
    end as held_out_low,
    fidelities.held_out_cubed_correlation,
    fidelities.held_out_cosine,
    fidelities.held_out_auprc,
    fidelities.held_out_f1,
    fidelities.held_out_iou,
    fidelities.ceiling,
    fidelities.stability,
    fidelities.confidence,
    judgements.images as judged_images,
    probes.name as judged_probe,
    encoders.name as judged_encoder,
    judgements.kept_together,
    scorings.setting
from store.fidelities
inner join store.judgements using (scoring_id)
inner join scorings on fidelities.scoring_id = scorings.scoring
inner join unit_labels on fidelities.scoring_id = unit_labels.scoring and fidelities.unit = unit_labels.unit
left join store.probes on judgements.probe_id = probes.probe_id
left join store.encoders on judgements.encoder_id = encoders.encoder_id
