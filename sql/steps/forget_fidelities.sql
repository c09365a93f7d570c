-- What a layer's or an encoder's values of a probe said of labels that are of other images, such as imported ones.
delete from store.fidelities
where scoring_id in (
    select judgements.scoring_id
    from store.judgements
    inner join store.scorings using (scoring_id)
    where
        judgements.probe_id = $probe_id
        and (scorings.layer_id = $layer_id or judgements.encoder_id = $encoder_id)
)
