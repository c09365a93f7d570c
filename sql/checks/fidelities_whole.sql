-- What is known of a label's fidelity is of a judged scoring, once a unit and within its range; and where images judged
-- it, of every live unit that has a label. A label's shares are one a concept and together 1, and two of a polysemantic
-- unit's are a third or more.
with terms as (
    select
        scoring_id,
        unit,
        count(*) as terms
    from store.label_terms
    group by scoring_id, unit
),

found as (
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
                fidelities.ceiling,
                fidelities.monosemanticity
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
        ) as odd_proportions,
        coalesce(
            len(fidelities.shares) <> coalesce(terms.terms, 0)
            or not isfinite(list_sum(fidelities.shares))
            -- large ones that make up for each other have no more digits than others
            or abs(list_sum(fidelities.shares) - 1) > 0.001 * greatest(1, list_max(fidelities.shares)),
            false
        ) as has_odd_shares,
        coalesce(fidelities.is_polysemantic, false)
        and coalesce(len(list_filter(fidelities.shares, lambda share: share >= 0.333)) < 2, true) as is_odd_mark
    from store.fidelities
    left join store.judgements using (scoring_id)
    left join store.labels
        on fidelities.scoring_id = labels.scoring_id and fidelities.unit = labels.unit
    left join terms on fidelities.scoring_id = terms.scoring_id and fidelities.unit = terms.unit
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
    odd_proportions,
    has_odd_shares,
    is_odd_mark
from found
where
    not is_judged
    or not is_labelled
    or rows_of_unit > 1
    or len(odd_correlations) > 0
    or len(odd_proportions) > 0
    or has_odd_shares
    or is_odd_mark
union all
select
    scoring_id,
    unit,
    true as is_judged,
    true as is_labelled,
    0 as rows_of_unit,
    [] as odd_correlations,
    [] as odd_proportions,
    false as has_odd_shares,
    false as is_odd_mark
from lacking
