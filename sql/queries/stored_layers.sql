-- Which layers can be scored again: those with stored activations, and embeddings of the same images?
-- Those of the newest probe and encoder come first. For labelers that look at no embedding there is a row without one.
--   $probe: varchar = ; only over this probe
--   $encoder: varchar = ; only with this encoder's embeddings
--   $embedded: boolean = true; whether embeddings are needed
with embedded as (
    select
        chunks.probe_id,
        chunks.encoder_id,
        max(chunks.run_id) as latest_run
    from store.chunks
    inner join store.probes using (probe_id)
    where chunks.encoder_id is not null and $embedded::boolean
    group by chunks.probe_id, chunks.encoder_id, probes.images, probes.chunk_images
    having count(*) = ceil(probes.images / probes.chunk_images)
    union all
    select
        probe_id,
        null as encoder_id,
        max(run_id) as latest_run
    from store.chunks
    where layer_id is not null and not $embedded::boolean
    group by probe_id
),

finished as (
    select distinct
        layer_id,
        probe_id
    from store.units
)

select
    models.name as model,
    layers.name as layer,
    layers.layer_id,
    layers.units,
    layers.fingerprint as layer_fingerprint,
    probes.name as probe,
    probes.probe_id,
    probes.fingerprint as probe_fingerprint,
    encoders.name as encoder,
    encoders.encoder_id,
    encoders.fingerprint as encoder_fingerprint,
    encoders.source as encoder_source,
    encoders.source_kind as encoder_source_kind,
    encoders.location as encoder_location,
    layers.position
from finished
inner join embedded using (probe_id)
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes using (probe_id)
left join store.encoders using (encoder_id)
where
    probes.name = coalesce($probe, probes.name)
    and ($encoder is null or encoders.name = $encoder)
order by
    embedded.latest_run desc,
    probes.probe_id desc,
    encoders.encoder_id desc,
    models.model_id asc,
    layers.position asc,
    layers.layer_id asc
