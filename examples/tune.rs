use headroom::commands::demo::course;
use headroom::journal::What;
use headroom::simulate::{References, Scenario};
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let scenario =
        if args[1].ends_with(".yaml") { Scenario::from_path(args[1].as_ref())? } else { Scenario::by_name(&args[1])? };
    let seed: u64 = args.get(2).map_or(1, |s| s.parse().unwrap());
    let verbose = args.get(3).is_some();
    let t0 = course::START;
    let started = std::time::Instant::now();
    let sim = course::run(
        &scenario,
        seed,
        &headroom::decide::shipped(),
        |_| Ok(()),
        |m| {
            let t = m.now.seconds_since(t0);
            for e in m.entries {
                match &e.what {
                    What::Decided { decision } => println!(
                        "{t:5.0} {} {:?} {:?} | {}",
                        decision.id, decision.outcome, decision.proposal.wish, decision.proposal.because
                    ),
                    What::Intervention { report } => {
                        println!("{t:5.0}   {} {:?} {}", report.id, report.stage, report.reason)
                    }
                    What::RuleFailed { rule, error } => println!("{t:5.0} RULE {rule} {error}"),
                    What::AnalysisFailed { error } => println!("{t:5.0} ANALYSIS {error}"),
                    _ => {}
                }
            }
            if verbose {
                let f = m.engine.findings();
                for e in &f.entries {
                    println!(
                        "{t:5.0}   {} n={} p99={:.0} miss={:.3} {}",
                        e.entry,
                        e.requests,
                        e.p99_ms,
                        e.missed_share,
                        if e.missed { "MISSED" } else { "" }
                    );
                }
                for s in &f.services {
                    if s.objective_missed {
                        println!(
                            "{t:5.0}     {} X={:.0} lam={:.0} true={} wait={:.0} own={:.1} conc={:.1} cap={:?} rep={}/{} need={:?}",
                            s.service,
                            s.throughput_per_s,
                            s.arrivals_per_s,
                            m.simulation.arrivals(
                                s.service.name(),
                                headroom::model::Time(m.now.0 - 3_000_000_000),
                                headroom::model::Time(m.now.0 - 2_000_000_000)
                            ),
                            s.waiting_ms,
                            s.own_time_ms,
                            s.concurrency_per_pod,
                            s.capacity_per_pod_per_s,
                            s.ready,
                            s.replicas,
                            s.replicas_needed
                        );
                    }
                }
                for b in &f.bottlenecks {
                    println!(
                        "{t:5.0}   => {} {} {:?} score={:.2} need={:?} {}",
                        b.entry,
                        b.service,
                        b.verdict,
                        b.score,
                        b.replicas_needed,
                        b.evidence
                            .iter()
                            .map(|e| format!("{}={:.2}({:.2})", e.measure, e.now, e.baseline.unwrap_or(-1.0)))
                            .collect::<Vec<_>>()
                            .join(" ")
                    );
                }
            }
            Ok(())
        },
    )?;
    let m = sim.measures();
    let run = started.elapsed();
    let r = References::run(&scenario, seed);
    let (h, w, o) = (m.slo_violation_share, r.without.slo_violation_share, r.onset.slo_violation_share);
    println!(
        "{} seed {seed}: share {h:.4} before {:.4} without {w:.4} onset {o:.4} | ratio to without {:.3} way {:.3} | pod_s {:.0} onset {:.0} ratio {:.2} | recovered {:?} | {:?} total {:?}",
        scenario.name,
        m.slo_violation_share_before,
        h / w,
        (h - o) / (w - o),
        m.pod_seconds,
        r.onset.pod_seconds,
        m.pod_seconds / r.onset.pod_seconds,
        m.recovered_s,
        run,
        started.elapsed()
    );
    Ok(())
}
