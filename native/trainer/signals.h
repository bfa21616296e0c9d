// SIGTERM, SIGINT and SIGHUP ask for a stop; SIGPIPE and SIGXFSZ become errors of the call that met them.
#pragma once

#include "trainer/stop_request.h"

namespace lowpeak::trainer {

// `stop` lives as long as the program. SIGINT and SIGHUP that are ignored, as by nohup, stay so. A third SIGINT ends
// the program at once; the second says so on stderr.
void handle_signals(StopRequest& stop);

}  // namespace lowpeak::trainer
