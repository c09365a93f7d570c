-- Scorings whose labels are to be judged: those that were not, or with other images kept together than asked for, or
-- before it was known what each concept carries.
-- Labels of another tool are judged by the newest images that their layer has activations and embeddings of (null where
-- it has none), and again where there are newer ones or some label could not be judged. Figures that came with labels
-- stay.
with stored as (
    select distinct
        chunks.layer_id,
        chunks.probe_id
    from store.chunks
    inner join store.units using (layer_id, probe_id)
),

embedded as (
    select
        chunks.probe_id,
        chunks.encoder_id,
        max(chunks.run_id) as latest_run
    from store.chunks
    inner join store.probes using (probe_id)
    where chunks.encoder_id is not null
    group by chunks.probe_id, chunks.encoder_id, probes.images, probes.chunk_images
    having count(*) = ceil(probes.images / probes.chunk_images)
),

newest as (
    select
        stored.layer_id,
        stored.probe_id,
        embedded.encoder_id
    from stored
    inner join embedded using (probe_id)
    qualify row_number() over (
        partition by stored.layer_id
        order by embedded.latest_run desc, stored.probe_id desc, embedded.encoder_id desc
    ) = 1
),

judged as (
    select
        scoring_id,
        bool_or(fidelities.correlation is null) as is_partly,
        bool_and(fidelities.is_polysemantic is null) as is_older
    from store.fidelities
    inner join store.label_terms using (scoring_id, unit)
    where label_terms.position = 0
    group by scoring_id
),

newest_ways as (
    select
        probe_id,
        max_by(kept_together, scoring_id) as kept_together
    from store.judgements
    where kept_together is not null
    group by probe_id
)

select
    scorings.scoring_id,
    scorings.layer_id,
    scorings.units,
    scorings.labeler = 'imported' as is_imported,
    scorings.method,
    scorings.parameters,
    scorings.prompts,
    scorings.null_draws,
    scorings.seed,
    scorings.kept_concepts,
    scorings.concept_set_id,
    layers.fingerprint as layer_fingerprint,
    case when scorings.images > 0 then stored.probe_id else newest.probe_id end as probe_id,
    case when scorings.images > 0 then scorings.encoder_id else newest.encoder_id end as encoder_id,
    coalesce($kept_together, newest_ways.kept_together, 'image') as kept_together,
    coalesce(judgements.probe_id = newest.probe_id and judgements.encoder_id = newest.encoder_id, false) as was_judged,
    encoders.name as encoder,
    encoders.source_kind as encoder_source_kind,
    encoders.location as encoder_location,
    encoders.fingerprint as encoder_fingerprint
from store.scorings
inner join store.layers using (layer_id)
inner join store.models using (model_id)
left join store.judgements on scorings.scoring_id = judgements.scoring_id
left join stored on scorings.layer_id = stored.layer_id and scorings.probe_id = stored.probe_id
left join newest on scorings.layer_id = newest.layer_id
left join store.encoders
    on case when scorings.images > 0 then scorings.encoder_id else newest.encoder_id end = encoders.encoder_id
left join judged on scorings.scoring_id = judged.scoring_id
left join newest_ways
    on case when scorings.images > 0 then scorings.probe_id else newest.probe_id end = newest_ways.probe_id
where
    (
        judgements.scoring_id is null
        or judgements.kept_together <> $kept_together
        or (judged.is_older and judgements.probe_id is not null)
        or (
            scorings.images = 0
            and (
                judgements.probe_id <> newest.probe_id
                or judgements.encoder_id <> newest.encoder_id
                or judged.is_partly
            )
            and judgements.probe_id is not null
        )
    )
    and ($models::varchar[] = [] or list_contains($models::varchar[], models.name))
    and ($layers::varchar[] = [] or list_contains($layers::varchar[], layers.name))
order by scorings.scoring_id
