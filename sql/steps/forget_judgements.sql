-- The judgements that the same goes for.
delete from store.judgements
where
    probe_id = $probe_id
    and (
        encoder_id = $encoder_id
        or scoring_id in (
            select scorings.scoring_id
            from store.scorings
            where scorings.layer_id = $layer_id
        )
    )
