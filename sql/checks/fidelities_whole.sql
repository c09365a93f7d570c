-- What is known of a label's fidelity is of a judged scoring, once a unit and within its range; and where images judged
-- it, of every live unit that has a label.
with found as (
    select
        fidelities.*,
        judgements.scoring_id is not null as is_judged,
        labels.unit is not null as is_labelled,
        count(*) over (partition by fidelities.scoring_id, fidelities.unit) as rows_of_unit,
        list_filter(
            [
                fidelities.correlation,
                fidelities.cubed_correlation,
                fidelities.cosine,
                fidelities.held_out_correlation,
                fidelities.held_out_cubed_correlation,
                fidelities.held_out_cosine,
                fidelities.ceiling
            ],
            lambda value: value is not null and not value between -1.0001 and 1.0001
        ) as odd_correlations,
        list_filter(
            [
                fidelities.auprc,
                fidelities.f1,
                fidelities.iou,
                fidelities.held_out_auprc,
                fidelities.held_out_f1,
                fidelities.held_out_iou,
                fidelities.stability,
                fidelities.confidence,
                fidelities.p_value,
                fidelities.q_value
            ],
            lambda value: value is not null and not value between 0 and 1.0001
        ) as odd_shares
    from store.fidelities
    left join store.judgements using (scoring_id)
    left join store.labels
        on fidelities.scoring_id = labels.scoring_id and fidelities.unit = labels.unit
),

lacking as (
    select
        label_terms.scoring_id,
        label_terms.unit
    from store.label_terms
    inner join store.scorings using (scoring_id)
    inner join store.judgements using (scoring_id)
    inner join store.units
        on
            scorings.layer_id = units.layer_id
            and judgements.probe_id = units.probe_id
            and label_terms.unit = units.unit
    anti join store.fidelities
        on label_terms.scoring_id = fidelities.scoring_id and label_terms.unit = fidelities.unit
    where label_terms.position = 0 and units.status = 'live'
)

select
    scoring_id,
    unit,
    is_judged,
    is_labelled,
    rows_of_unit,
    odd_correlations,
    odd_shares
from found
where
    not is_judged
    or not is_labelled
    or rows_of_unit > 1
    or len(odd_correlations) > 0
    or len(odd_shares) > 0
union all
select
    scoring_id,
    unit,
    true as is_judged,
    true as is_labelled,
    0 as rows_of_unit,
    [] as odd_correlations,
    [] as odd_shares
from lacking
