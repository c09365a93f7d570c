-- One row per scoring: one method, encoder, concept set and probe applied to one layer, with all names.
-- Scores compare only within a scoring. Counts over layers group by setting, which is the same number for all
-- scorings with the same method, encoder, prompt, concept set, probe and pooling.
--   scoring: number of the scoring
--   setting: number of the settings that it shares with scorings of other layers
--   position: place of the layer in the model, in the order of named_modules()
--   method: similarity function, with the parameters that differ from its defaults
--   encoder: image-text model, with its prompt where that is not the plain concept; null where the labeler needs none
--   pooling: how a feature map becomes one number: mean or max
--   units: units of the layer
--   images: images of the probe that were scored
--   concepts: size of the concept set
--   null_draws: pseudo-units with random top images behind the p-values
--   is_random: true where the model's weights are random, for tests and timing
--   labeler: what made the labels: clip_dissect, or imported for those of another tool
--   run: number of the run that made it
select
    scorings.scoring_id as scoring,
    min(scorings.scoring_id) over (
        partition by
            scorings.labeler,
            scorings.method,
            scorings.parameters::varchar,
            scorings.prompts,
            scorings.null_draws,
            scorings.seed,
            scorings.kept_concepts,
            encoders.encoder_id,
            concept_sets.concept_set_id,
            probes.probe_id,
            layers.pooling
    ) as setting,
    models.name as model,
    layers.name as layer,
    layers.position,
    case
        when scorings.changed_parameters = '' then scorings.method
        else scorings.method || '(' || scorings.changed_parameters || ')'
    end as method,
    case
        when scorings.prompts = ['{}'] then encoders.name
        else encoders.name || ' "' || array_to_string(scorings.prompts, ' | ') || '"'
    end as encoder,
    concept_sets.name as concept_set,
    probes.name as probe,
    layers.pooling,
    scorings.units,
    scorings.images,
    concept_sets.concepts,
    scorings.null_draws,
    models.is_random,
    scorings.labeler,
    scorings.run_id as run
from store.scorings
inner join store.layers using (layer_id)
inner join store.models using (model_id)
left join store.encoders using (encoder_id)
inner join store.concept_sets using (concept_set_id)
inner join store.probes on scorings.probe_id = probes.probe_id
