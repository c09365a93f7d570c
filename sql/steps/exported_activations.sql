-- The view activations with the number of the layer, so that the rows of the table can be had back.
select
    activations.*,
    layers.layer_id
from activations
inner join store.models on activations.model = models.name
inner join store.layers on models.model_id = layers.model_id and activations.layer = layers.name
order by layers.layer_id, activations.unit, activations.image_id
