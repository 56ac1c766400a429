//! `[master]`

use std::time::Duration;

use crate::record::settings;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

settings! {
    /// The supervisor of the other programs.
    master: Master {
        /// A program that is told to end and does not is killed after so long.
        stop_timeout: Duration {
            default: 30 * SECOND,
            range: SECOND => HOUR,
            readers: ["master"],
        }
        /// A new program that is not ready after so long is killed and started again.
        start_timeout: Duration {
            default: 60 * SECOND,
            range: SECOND => HOUR,
            readers: ["master"],
        }
        /// A program that dies is started again at once; if it dies again soon, after this pause, which
        /// doubles each time.
        restart_delay_min: Duration {
            default: SECOND,
            range: Duration::from_millis(10) => HOUR,
            readers: ["master"],
        }
        /// The longest such pause.
        restart_delay_max: Duration {
            default: 60 * SECOND,
            range: Duration::from_millis(10) => HOUR,
            readers: ["master"],
        }
    }
}
