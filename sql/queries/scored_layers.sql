-- Which layers with stored activations were scored under a setting, and with what?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    scorings.setting,
    scorings.scoring,
    scorings.model,
    scorings.layer,
    keys.layer_id,
    keys.probe_id,
    keys.encoder_id,
    keys.concept_set_id,
    array_to_string(keys.prompts, ' | ') as prompt,
    keys.prompts,
    keys.parameters,
    keys.null_draws,
    keys.seed,
    keys.labeler,
    keys.method,
    keys.method as function,
    keys.kept_concepts,
    concept_sets.concepts,
    scorings.units,
    encoders.name as encoder,
    encoders.source as encoder_source,
    encoders.source_kind as encoder_source_kind,
    encoders.precision as encoder_precision,
    encoders.fingerprint as encoder_fingerprint
from scorings
inner join store.scorings as keys on scorings.scoring = keys.scoring_id
inner join store.concept_sets on keys.concept_set_id = concept_sets.concept_set_id
left join store.encoders on keys.encoder_id = encoders.encoder_id
where
    scorings.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and exists (
        select 1
        from store.units
        where units.layer_id = keys.layer_id and units.probe_id = keys.probe_id
    )
order by scorings.model asc, scorings.position asc
