// For Android Studio, over the sources that build.py builds. NOT RUN by lowpeak's checks, which have no Gradle plugin
// for Android: build.py is what is tested.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "lowpeak-demo"
include(":app")
