-- Every scoring stands on a layer and an encoder that are loaded to their end, and counts their images and units right.
with loaded as (
    select
        chunks.probe_id,
        chunks.layer_id,
        chunks.encoder_id,
        count(*) = ceil(any_value(probes.images) / any_value(probes.chunk_images)) as is_complete,
        sum(chunks.images) as images
    from store.chunks
    inner join store.probes using (probe_id)
    group by chunks.probe_id, chunks.layer_id, chunks.encoder_id
)

select
    scorings.scoring_id,
    scorings.images,
    layer_chunks.images as layer_images,
    encoder_chunks.images as encoder_images,
    scorings.units,
    layers.units as layer_units
from store.scorings
inner join store.layers using (layer_id)
left join loaded as layer_chunks
    on scorings.layer_id = layer_chunks.layer_id and scorings.probe_id = layer_chunks.probe_id
left join loaded as encoder_chunks
    on scorings.encoder_id = encoder_chunks.encoder_id and scorings.probe_id = encoder_chunks.probe_id
-- imported labels were scored elsewhere: they have no images here
where
    (
        scorings.images > 0
        and (
            not coalesce(layer_chunks.is_complete, false)
            or scorings.images is distinct from layer_chunks.images
            or (
                -- some labelers look at no embedding
                scorings.encoder_id is not null
                and (
                    not coalesce(encoder_chunks.is_complete, false)
                    or scorings.images is distinct from encoder_chunks.images
                )
            )
        )
    )
    or scorings.units > layers.units
