use halfopen_conformance::*;
fn main(){
 let a:Vec<String>=std::env::args().collect();
 let place=match a[1].as_str(){"direct"=>Place::Direct{in_lab:false},"direct-lab"=>Place::Direct{in_lab:true},c=>Place::Lab{command:c.to_owned()}};
 let slow:u64=a[2].parse().unwrap();
 let limits=Limits{slow:std::time::Duration::from_secs(slow),notice:std::time::Duration::from_secs(slow.max(20)),..Limits::default()};
 let only=a.get(3).cloned().unwrap_or_default();
 let cases:Vec<_>=cases::all().into_iter().filter(|c|c.name.contains(&only)).collect();
 let o=suite::play(&cases,&place,limits,|_,_|()).unwrap();
 for (c,o) in &o{println!("{:8} {:45} {:14} {}",o.mark.word(),c.name,o.brief,o.said);}
 for m in [Mark::Passed,Mark::Failed,Mark::NotRun]{println!("{} {}",m.word(),o.iter().filter(|(_,o)|o.mark==m).count());}
}
