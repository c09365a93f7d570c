-- What are the embeddings of the images that are among the top images of some unit of one layer?
-- By the setting's encoder; of a setting without one, by the newest that has embedded its probe.
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 10; how many images of each unit, up to 20
with scored as (
    select
        keys.layer_id,
        keys.probe_id,
        keys.encoder_id
    from scorings as named
    inner join store.scorings as keys on named.scoring = keys.scoring_id
    where
        named.setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and named.model = $model
        and named.layer = $layer
),

chosen as (
    select coalesce(any_value(scored.encoder_id), max(chunks.encoder_id)) as encoder_id
    from scored
    left join store.chunks on scored.probe_id = chunks.probe_id
),

shown as (
    select distinct top_images.image_id
    from store.top_images
    inner join scored using (layer_id, probe_id)
    where top_images.rank <= $top::integer
)

select
    image_embeddings.image_id,
    image_embeddings.embedding
from shown
inner join store.image_embeddings using (image_id)
inner join chosen using (encoder_id)
order by image_embeddings.image_id
