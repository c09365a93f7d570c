-- Where do the numbers of a setting come from: models, weights, probe, encoder, concepts, method?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    scorings.scoring,
    scorings.model,
    scorings.layer,
    models.source as weights,
    models.fingerprint as model_fingerprint,
    scorings.is_random,
    scorings.probe,
    probes.location as probe_location,
    probes.fingerprint as probe_fingerprint,
    scorings.images,
    scorings.encoder,
    encoders.source as encoder_weights,
    encoders.fingerprint as encoder_fingerprint,
    scorings.concept_set,
    concept_sets.fingerprint as concept_set_fingerprint,
    scorings.concepts,
    scorings.labeler,
    scorings.method,
    keys.parameters,
    scorings.null_draws,
    keys.seed,
    store.runs.command,
    store.runs.device,
    store.runs.versions
from scorings
inner join store.scorings as keys on scorings.scoring = keys.scoring_id
inner join store.layers on keys.layer_id = layers.layer_id
inner join store.models on layers.model_id = models.model_id
inner join store.probes on keys.probe_id = probes.probe_id
left join store.encoders on keys.encoder_id = encoders.encoder_id
inner join store.concept_sets on keys.concept_set_id = concept_sets.concept_set_id
inner join store.runs on keys.run_id = runs.run_id
where scorings.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
order by scorings.model asc, scorings.position asc
