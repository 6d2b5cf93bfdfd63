//! probe
use till_log::*; use std::sync::Arc;
use arrow::array::*;
fn lcg(s:&mut u64)->u64{ *s=s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); *s>>33 }
#[test] fn flips(){
  let n=200i64;
  let b=RecordBatch::try_from_iter(vec![
   ("device_id", Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("t{i}")))) as ArrayRef),
   ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(0..n).with_timezone("UTC"))),
   ("lat", Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64)))),
   ("lon", Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64))))]).unwrap();
  let mut w=parquet::arrow::ArrowWriter::try_new(Vec::new(), b.schema(), None).unwrap(); w.write(&b).unwrap(); let pq=w.into_inner().unwrap();
  let mut w=arrow_avro::writer::AvroWriter::new(Vec::new(), b.schema().as_ref().clone()).unwrap(); w.write(&b.slice(0,100)).unwrap(); w.write(&b.slice(100,100)).unwrap(); w.finish().unwrap(); let av=w.into_inner();
  std::panic::set_hook(Box::new(|_|{}));
  for (name, good) in [("a.avro",av),("a.parquet",pq)] {
    let mut seed=7; let (mut ok,mut err,mut pan,mut slow)=(0,0,0,0f64); let mut msgs=std::collections::BTreeMap::new();
    let d=tempfile::tempdir().unwrap();
    for _ in 0..400 { let mut c=good.clone(); for _ in 0..1+lcg(&mut seed)%2 { let i=(lcg(&mut seed) as usize)%c.len(); c[i]^=1<<(lcg(&mut seed)%8);} 
      std::fs::write(d.path().join(name),&c).unwrap(); std::fs::write(format!("/tmp/probe_last_{name}"),&c).unwrap(); let p=d.path().to_path_buf();
      let t=std::time::Instant::now();
      let r=std::panic::catch_unwind(move|| -> Result<usize,LogError>{ let mut l=FolderLog::open(&p,schemas::topics::pings(),None)?; let mut n=0; while let Some(b)=l.poll(64)?{n+=b.offsets.len()+b.rejects.len();} Ok(n)});
      slow=slow.max(t.elapsed().as_secs_f64());
      match r { Ok(Ok(_))=>ok+=1, Ok(Err(_))=>err+=1, Err(e)=>{pan+=1; let m=e.downcast_ref::<String>().cloned().or(e.downcast_ref::<&str>().map(|s|s.to_string())).unwrap_or_default(); *msgs.entry(m.chars().take(80).collect::<String>()).or_insert(0)+=1;} } }
    println!("PROBE {name}: ok {ok} err {err} panic {pan} slowest {slow:.3}"); for (m,c) in msgs {println!("PROBE   {c} x {m}");}
  }
}
