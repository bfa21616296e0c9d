// NOT RUN by lowpeak's checks: see settings.gradle.kts. Core's sources are compiled into the app. lowpeak-runner is not
// built here: put it into app/src/main/jniLibs/arm64-v8a/liblowpeak_runner.so, or let build.py build and pack it.
plugins {
    id("com.android.application")
}

android {
    namespace = "dev.lowpeak.demo"
    compileSdk = 35

    defaultConfig {
        applicationId = "dev.lowpeak.demo"
        minSdk = 28
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
        ndk {
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }

    sourceSets {
        getByName("main") {
            java.srcDir("../core/src/main/java")
        }
        getByName("test") {
            java.srcDir("../core/src/test/java")
        }
    }

    // The runner is a program: it has to lie in a folder as a file of its own.
    packaging {
        jniLibs {
            useLegacyPackaging = true
            keepDebugSymbols += "**/liblowpeak_runner.so"
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
}

dependencies {
    testImplementation("junit:junit:4.13.2")
}
