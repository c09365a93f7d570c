-- Those scorings of a layer that one probe, encoder, concept set and method gave, and the digests of their files.
select
    scorings.scoring_id,
    scorings.fingerprint,
    runs.recipe ->> 'sha256' as file_digest
from store.scorings
left join store.runs using (run_id)
where
    scorings.layer_id = $layer_id
    and scorings.probe_id = $probe_id
    and scorings.encoder_id = $encoder_id
    and scorings.concept_set_id = $concept_set_id
    and scorings.method = $method
