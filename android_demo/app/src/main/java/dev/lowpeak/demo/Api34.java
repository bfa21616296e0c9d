package dev.lowpeak.demo;

import android.app.Notification;
import android.app.Service;
import android.content.pm.ServiceInfo;

/** What Android 14 brought. Only called where {@code Api.has(34)}. */
final class Api34 {
    private Api34() {}

    /** In the type that the manifest declares; specialUse has no time limit. */
    static void startForeground(Service service, int id, Notification notification) {
        service.startForeground(id, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_SPECIAL_USE);
    }
}
