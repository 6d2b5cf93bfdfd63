use schemas::Offset;

use crate::testing::{Folder, pings, read_all, rejects, transactions, values};
use crate::{FolderLog, LogError, LogReader, reason};

/// Two tracks, one of them in two segments, in both versions' ways to state a speed, with what is no track.
const TRACKS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- <trkpt lat="1" lon="1"/> -->
<gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1" xmlns:x="urn:x">
  <metadata><time>2019-02-18T07:00:00Z</time></metadata>
  <wpt lat="50" lon="8"><time>2019-02-18T07:00:00Z</time></wpt>
  <rte><rtept lat="50" lon="8"/></rte>
  <trk><name> Tom &amp; <![CDATA[<Jerry>]]> &#8364; </name>
    <trkseg>
      <trkpt lat="52.6291510" lon="-8.6617460"><ele>3</ele><time>2019-02-18T07:45:50Z</time>
        <extensions><x:tp><x:speed>4.5</x:speed><x:time>never</x:time></x:tp></extensions></trkpt>
      <trkpt lat='52.7' lon='-8.7'><time> 2019-02-18T08:45:52.5+01:00 </time><course>90</course><speed>2</speed></trkpt>
    </trkseg>
    <trkseg><trkpt lon="-8.8" lat="52.8"></trkpt></trkseg>
  </trk>
  <trk><trkseg><trkpt lat="north" lon="8"><time>2019-02-18T07:45:50Z</time></trkpt><trkpt lat="1" lon="2"/></trkseg></trk>
</gpx>
"#;

fn open(content: &str) -> Result<FolderLog, LogError> {
    let folder = Folder::new(&[("a.gpx", content.as_bytes())]);
    FolderLog::of_file(&folder.path().join("a.gpx"), pings())
}

#[test]
fn each_point_of_a_track_is_a_record_of_its_device() {
    for rows_max in [1, 2, 100] {
        let mut log = open(TRACKS).unwrap();
        let read = read_all(&mut log, rows_max, &pings());
        assert_eq!(values(&read, "device_id"), ["Tom & <Jerry> €", "Tom & <Jerry> €", "Tom & <Jerry> €", "track 2"]);
        assert_eq!(values(&read, "time"), ["1550475950000000", "1550475952500000", "-", "-"]);
        assert_eq!(values(&read, "lat"), ["52.629151", "52.7", "52.8", "1"]);
        assert_eq!(values(&read, "lon"), ["-8.661746", "-8.7", "-8.8", "2"]);
        assert_eq!(values(&read, "speed_mps"), ["4.5", "2", "-", "-"]);
        assert_eq!(values(&read, "bearing_deg"), ["-", "90", "-", "-"]);
        let detail = "a.gpx, point 4: column lat has a value that its type cannot hold";
        assert_eq!(rejects(&read), [(3, reason::BAD_VALUE, detail)]);
        assert_eq!(log.place_of(Offset(4)), "a.gpx, point 5");
        assert_eq!(log.progress(), (TRACKS.len() as u64, TRACKS.len() as u64));
    }
}

/// Fails when a file that was cut short counts as whole.
#[test]
fn what_is_no_gpx_to_its_end_is_damaged_after_its_points() {
    let cut = TRACKS.split("<trkseg><trkpt lon").next().unwrap();
    let mut log = open(cut).unwrap();
    assert_eq!(log.poll(10).unwrap().unwrap().rows.num_rows(), 2);
    let error = log.poll(10).unwrap_err().to_string();
    assert!(error.contains("it ends inside an element (at byte"), "{error}");
    for (wrong, cause) in [
        ("<kml></kml>", "its outermost element is not gpx"),
        ("<gpx><trk></gpx>", "expected `</trk>`"),
        ("<gpx><trk><name>&who;</name></trk></gpx>", "an entity that XML does not know"),
        (&"<gpx>".repeat(100), "more than 64 elements are open"),
    ] {
        let error = open(wrong).unwrap().poll(1).unwrap_err().to_string();
        assert!(error.contains(cause), "{wrong}: {error}");
    }
    assert_eq!(open("<gpx/>").unwrap().poll(1).unwrap(), None);
}

/// A name that no table takes would cost every point of its track.
#[test]
fn a_long_name_is_cut_between_characters() {
    let name = "é".repeat(40);
    let content = format!("<gpx><trk><name>{name}</name><trkseg><trkpt lat='1' lon='2'/></trkseg></trk></gpx>");
    let read = read_all(&mut open(&content).unwrap(), 1, &pings());
    assert_eq!(values(&read, "device_id"), ["é".repeat(32)]);
}

#[test]
fn topics_of_other_columns_have_no_gpx() {
    let folder = Folder::new(&[("a.gpx", TRACKS.as_bytes())]);
    let error = FolderLog::of_file(&folder.path().join("a.gpx"), transactions()).err().unwrap();
    assert!(error.to_string().contains("a GPX file has no column"), "{error}");
    assert!(matches!(FolderLog::open(&folder.path(), pings(), None), Err(LogError::NotInput { .. })));
}
