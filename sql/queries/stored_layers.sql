-- Which layers can be scored again: those with stored activations, and embeddings of the same images?
-- Those of the newest probe and encoder come first.
--   $probe: varchar = ; only over this probe
--   $encoder: varchar = ; only with this encoder's embeddings
with embedded as (
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
    encoders.source as encoder_source
from finished
inner join embedded using (probe_id)
inner join store.layers using (layer_id)
inner join store.models using (model_id)
inner join store.probes using (probe_id)
inner join store.encoders using (encoder_id)
where
    probes.name = coalesce($probe, probes.name)
    and encoders.name = coalesce($encoder, encoders.name)
order by
    embedded.latest_run desc,
    probes.probe_id desc,
    encoders.encoder_id desc,
    models.model_id asc,
    layers.position asc,
    layers.layer_id asc
