-- Those scorings of a layer that one probe, encoder, concept set and method gave.
select fingerprint
from store.scorings
where
    layer_id = $layer_id
    and probe_id = $probe_id
    and encoder_id = $encoder_id
    and concept_set_id = $concept_set_id
    and method = $method
