-- What each chunk had of a layer's top images, once those of the whole probe are known.
delete from store.top_candidates
where layer_id = $layer_id and probe_id = $probe_id
